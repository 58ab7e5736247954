"""The processes that the guardian holds: main, standby, nursery, broker, and how it hears of them."""
