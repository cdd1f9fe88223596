"""Text on its way in and out: plain values, names of files, what must not be shown, files that appear whole."""
