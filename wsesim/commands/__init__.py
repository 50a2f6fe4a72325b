"""The commands, one file each: parse, call, render. Heavy imports happen inside the function."""
