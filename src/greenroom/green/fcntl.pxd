from greenroom.core cimport scheduler as _scheduler
