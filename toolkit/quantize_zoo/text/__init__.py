"""Text on its way in and out: names of files, what must not be shown, files that appear whole."""
