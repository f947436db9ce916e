"""What an image set is worth: probes, neighbours, baselines, alignment."""
