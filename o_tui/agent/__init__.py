"""What runs inside an instance: the kernel and the words that genes are written in."""
