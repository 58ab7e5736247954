"""OTP's supervision: a pure state machine, its words, and the driver on asyncio."""
