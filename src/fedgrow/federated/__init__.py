"""The federation on Flower's Message API: one ServerApp, one ClientApp, and the engines that carry them."""
