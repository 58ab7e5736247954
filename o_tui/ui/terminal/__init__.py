"""Between Textual and the terminal: driver, clipboard, background colour."""
