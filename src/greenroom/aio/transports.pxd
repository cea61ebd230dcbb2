cdef object _Base, _recv, _recv_into, _send, _BYTES
cdef object _EDGE
