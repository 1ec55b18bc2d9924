"""What is learned with torch: layers, flows, training, checkpoints."""
