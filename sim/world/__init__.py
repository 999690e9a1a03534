"""Scene description: roads, cross-sections, objects, as plain data, and their random builders."""
