# Nothing is typed: compiled, sleep() is a C function as time.sleep is.
