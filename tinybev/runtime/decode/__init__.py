"""From the network's raw outputs to the types of ``tinybev.types``, one file a head."""
