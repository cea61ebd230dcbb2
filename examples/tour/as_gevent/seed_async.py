"""The seed's own text (4.4 异步实现); added: the calls at the end, which it leaves to the reader.

`sleep` is imported before the patch, so with gevent itself it is the blocking one, and asynch()
takes ten seconds as synch() does. Run as below it takes one: greenroom patches before
the first line.

Run     greenroom run --as-gevent examples/tour/as_gevent/seed_async.py     (11 s)
Prints  synch
        任务执行： 0
        ...
        任务执行： 9             (one a second)
        asynch
        任务执行： 0
        ...
        任务执行： 9             (all in one second)
See     step7_together.py
"""
# ruff: noqa
# fmt: off

from gevent import monkey
from time import sleep
from gevent import spawn,joinall
monkey.patch_all()


def task(pid):
    sleep(1)
    print('任务执行：',pid)

def synch():
    for i in range(10):
        task(i)
def asynch():
    spawn_all = []
    for i in range(10):
        spawn_all.append(spawn(task,i))
    joinall(spawn_all)	#等待所有任务结束

print('synch')
synch()
print('asynch')
asynch()
