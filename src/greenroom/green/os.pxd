from greenroom.core cimport scheduler as _scheduler
from greenroom.green cimport fdcalls, fdio
