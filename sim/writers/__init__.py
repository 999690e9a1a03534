"""Files made of simulated scenes; see :mod:`perception.sim.writers.culane` and :mod:`perception.sim.writers.mcap`."""
