"""The commands of ``quantize-zoo``, in files by what they are about: parse, call, print, exit. No logic.

``cli.py`` puts them together.
"""
