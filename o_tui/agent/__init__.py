"""What runs inside an instance: the kernel (not evolvable) and what the genome's genes may use (`dsl`)."""
