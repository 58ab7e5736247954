"""Lists drawn line by line: a window over any number of rows, with columns that give way when it is narrow."""
