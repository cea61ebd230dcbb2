from greenroom.core cimport scheduler as _scheduler
from greenroom.green cimport fdio
