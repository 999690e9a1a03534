"""Public datasets that several plugins read."""
