"""The seed's own text (4.3 实现通信), unchanged.

The consumer never stops. When the twentieth item is handled it waits for one that nobody will put,
and the program ends with an error that says so (gevent's LoopExit; greenroom's tells who waits).
`sleep` is imported before the patch, so with gevent itself it is the blocking one. Run as
below it is the green one: greenroom patches before the first line.

Run     greenroom run --as-gevent examples/tour/as_gevent/seed_queue.py     (20 s)
Prints  生产了数据： 0
        生产了数据： 1
        生产了数据： 2
        生产了数据： 3
        处理了数据： 0
        生产了数据： 4
        处理了数据： 1
        ...
        处理了数据： 19
        and the error, with exit code 1
See     step6_queue.py
"""
# ruff: noqa
# fmt: off

from gevent import monkey   #猴子补丁
from time import sleep
monkey.patch_all()  #补丁的编辑，临时修改一些内容，必须放在gevent的前面
import gevent
from gevent.queue import Queue

def producer(queue):
    for i in range(20):
        queue.put(i)
        print('生产了数据：',i)
def consumer(queue):
    while True:
        x = queue.get()
        sleep(1)
        print('处理了数据：',x)

queue =Queue(3)
#创建一个携程,gevent会自动切换，不需要用switch进行切换
pro = gevent.spawn(producer,queue)
con = gevent.spawn(consumer,queue)
gevent.joinall([pro,con])
