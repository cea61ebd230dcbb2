"""The seed's own text (4.2 gevent实现并发服务器), typing slips mended and nothing else.

Mended  `sever` to `server`.
Run     greenroom run --as-gevent examples/tour/as_gevent/seed_echo_server.py   (until Ctrl-C)
Prints  b'hello'                 for a client that sends hello to 127.0.0.1:8989
See     step5_echo_server.py
"""
# ruff: noqa
# fmt: off

from gevent import monkey
monkey.patch_all()
import gevent
import socket

def func(conn):
    while True:
        data = conn.recv(1024)
        if data:
            print(data)
            conn.send(data)
        else:
            conn.close()
            break

server = socket.socket()
server.bind(('127.0.0.1',8989))
server.listen(10)
while True:
    conn,addr = server.accept()
    #生成一个协程,并将conn作为参数传入
    gevent.spawn(func,conn)
