"""The center of the Milky Way: what a companion of Sgr A* would throw out, and what none seen excludes."""
