"""What the processes of O say to each other, and the formats of what they keep. Imports nothing else of ours."""
