"""Every metric of the paper: official where there is an official one, by published definitions elsewhere."""
