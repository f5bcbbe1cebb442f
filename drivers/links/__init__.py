"""The I/O of drivers: one module a library, which turns its errors into the families of contract.errors."""
