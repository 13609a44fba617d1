"""The student network: six images, their calibration and a goal in; five outputs on one bird's-eye-view grid out."""
