# greenlet's C interface (greenlet.h of the installed package).              layer: core
# Call PyGreenlet_Import() once in every module that uses one of the others.

cdef extern from "greenlet.h":
    ctypedef class greenlet.greenlet [object PyGreenlet]:
        pass

    void PyGreenlet_Import() except *
    greenlet PyGreenlet_GetCurrent()
    object PyGreenlet_Switch(greenlet target, void *args, void *kwargs)
