"""Towns: a network of roads with intersections, signs, lights, buildings, traffic and crowds, for rigs of sensors."""
