from posix.types cimport off_t

cpdef object try_read(int fd, Py_ssize_t size, off_t offset=*)
cpdef bint more_on_disk(int fd, off_t offset=*)
cpdef Py_ssize_t try_readinto(int fd, object buffer) except -1000
cpdef Py_ssize_t try_write(int fd, object data) except -1000
cpdef bint on_disk(int fd) except -1
cpdef long long size_of_file(int fd) except -2
cpdef bint is_fifo(object path)
