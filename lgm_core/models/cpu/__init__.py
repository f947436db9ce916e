"""What makes a frozen backbone faster on a CPU without changing what it computes."""
