"""The seed's own text (4.1 greenlet的使用), unchanged.

Run     python examples/tour/seed/seed_greenlet.py                          (40 s)
   or   greenroom run examples/tour/seed/seed_greenlet.py
Prints  发送了数据： 0
        处理了数据： 0
        ...
        发送了数据： 19
        处理了数据： 19
See     step4_greenlet_producer_consumer.py
"""
# ruff: noqa
# fmt: off

from greenlet import greenlet
from time import sleep

def consumer():
    while True:
        x= pro.switch()	#等待数据的接收
        sleep(2)
        print('处理了数据：',x)
def producer():
    for i in range(20):
        print('发送了数据：',i)
        con.switch(i)		#将数据发送给消费者
#将任务交给greenlet
con = greenlet(consumer)
pro = greenlet(producer)
con.switch()	#让消费者首先处于等待状态。
