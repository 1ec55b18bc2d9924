"""The stellar halo: selections, densities and masses of its parts, and the metal-poor stars that cross the disk."""
