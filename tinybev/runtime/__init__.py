"""From a synchronized frame to the five outputs: bundle, preprocessing, network, decoders, tracker."""
