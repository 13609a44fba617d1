"""Pictures of one frame: six cameras with the outputs projected into them, a bird's-eye view beside them."""
