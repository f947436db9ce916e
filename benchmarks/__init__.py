"""Speed, memory and spread, as ratios within one run."""
