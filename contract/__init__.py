"""Every type that crosses a process boundary: records only, no I/O, no clock."""
