"""The radio world of the virtual machine: its controller, on a Unix socket, and two devices in the air.

    python radio.py SOCKET

BTH advertises BTHome temperatures, another every second; ESS takes connections and notifies temperatures by the
Environmental Sensing service. Needs bumble from PyPI.
"""

import asyncio
import logging
import struct
import sys

from bumble.controller import Controller
from bumble.core import UUID, AdvertisingData
from bumble.device import Device
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.hci import Address, OwnAddressType
from bumble.host import Host
from bumble.link import LocalLink
from bumble.transport import open_transport
from bumble.transport.common import AsyncPipeSink

BTHOME = "A4:C1:38:00:00:01"
SENSING = "A4:C1:38:00:00:02"


class Air(LocalLink):
    """bumble sends data from a device's random address; the kernel connects with the public one. The connection knows."""

    def send_acl_data(self, sender, destination, transport, data):
        connection, receiver = sender.le_connections.get(destination), self.find_le_controller(destination)
        if connection is None:
            return super().send_acl_data(sender, destination, transport, data)
        if receiver:
            loop = asyncio.get_running_loop()
            loop.call_soon(lambda: receiver.on_link_acl_data(connection.self_address, transport, data))


async def device(air, name, address, services=()):
    controller = Controller(name, link=air, public_address=address)
    host = Host(controller, AsyncPipeSink(controller))
    one = Device(name=name, address=Address(address, Address.PUBLIC_DEVICE_ADDRESS), host=host)
    for service in services:
        one.add_service(service)
    await one.power_on()
    return one


def bthome(number):
    """Packet number and temperature in hundredths."""
    return bytes([0x40, 0x00, number & 0xFF, 0x02]) + struct.pack("<h", 2000 + number % 500)


async def advertise(one, fields):
    await one.stop_advertising()
    await one.start_advertising(
        own_address_type=OwnAddressType.PUBLIC, auto_restart=True, advertising_data=bytes(AdvertisingData(fields)))


async def main():
    logging.basicConfig(level="ERROR")
    air = Air()
    transport = await open_transport("unix:" + sys.argv[1])
    Controller("vm", host_source=transport.source, host_sink=transport.sink, link=air, public_address="00:1A:7D:DA:71:13")
    bth = await device(air, "BTH", BTHOME)
    properties = Characteristic.Properties.READ | Characteristic.Properties.NOTIFY
    temperature = Characteristic(UUID.from_16_bits(0x2A6E), properties, Characteristic.READABLE,
                                 CharacteristicValue(read=lambda connection: struct.pack("<h", 2345)))
    ess = await device(air, "ESS", SENSING, [Service(UUID.from_16_bits(0x181A), [temperature])])
    flags = (AdvertisingData.FLAGS, b"\x06")
    uuids = (AdvertisingData.INCOMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS, b"\x1a\x18")
    await advertise(ess, [flags, (AdvertisingData.COMPLETE_LOCAL_NAME, b"ESS"), uuids])
    print("the radio is up", flush=True)
    number = 0
    while True:
        data = (AdvertisingData.SERVICE_DATA_16_BIT_UUID, b"\xd2\xfc" + bthome(number))
        await advertise(bth, [flags, data, (AdvertisingData.COMPLETE_LOCAL_NAME, b"BTH")])
        await ess.notify_subscribers(temperature, struct.pack("<h", 3000 + number % 500))
        number += 1
        await asyncio.sleep(1)


asyncio.run(main())
