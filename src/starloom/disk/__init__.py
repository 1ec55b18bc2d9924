"""The disks of the Milky Way: the two alpha sequences, ages and metallicities."""
