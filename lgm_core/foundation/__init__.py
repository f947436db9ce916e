"""What everything else stands on: errors, seeds, files, paths, locks, ranks, memory."""
