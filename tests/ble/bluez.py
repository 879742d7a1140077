#!/usr/bin/python3
# Plays bluetoothd on the bus named by DBUS_SYSTEM_BUS_ADDRESS, as far as scanning and connections need it. One JSON command per
# line of standard input, one JSON answer per line of standard output. Needs Debian's python3-dbus and python3-gi.
import json
import os

import dbus
import dbus.mainloop.glib
import dbus.service
from gi.repository import GLib

PROPERTIES = "org.freedesktop.DBus.Properties"
MANAGER = "org.freedesktop.DBus.ObjectManager"
ADAPTER = "org.bluez.Adapter1"
DEVICE = "org.bluez.Device1"
SERVICE = "org.bluez.GattService1"
CHARACTERISTIC = "org.bluez.GattCharacteristic1"
LONG = "0000%s-0000-1000-8000-00805f9b34fb"

dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
bus = dbus.SystemBus()
known = {}
calls = []
failures = {}
has = {}
hanging = set()
written = []


def failure(method):
    left = failures.get(method, 0)
    failures[method] = left - 1
    if left > 0:
        raise dbus.exceptions.DBusException("as the test wants it", name="org.bluez.Error.InProgress")


class Thing(dbus.service.Object):
    def __init__(self, path, interface, properties):
        self.path, self.interface = path, interface
        self.properties = dbus.Dictionary(properties, signature="sv")
        super().__init__(bus, path)
        known[path] = self
        root.InterfacesAdded(path, {interface: self.properties})

    def leave(self):
        del known[self.path]
        self.remove_from_connection()
        root.InterfacesRemoved(self.path, [self.interface])

    def change(self, properties):
        self.properties.update(properties)
        self.PropertiesChanged(self.interface, properties, [])

    @dbus.service.method(PROPERTIES, in_signature="s", out_signature="a{sv}")
    def GetAll(self, interface):
        return self.properties

    @dbus.service.method(PROPERTIES, in_signature="ss", out_signature="v")
    def Get(self, interface, name):
        return self.properties[name]

    @dbus.service.method(PROPERTIES, in_signature="ssv")
    def Set(self, interface, name, value):
        calls.append("Set" + name)
        failure("Set" + name)
        if self.properties.get(name) != value:
            self.change({name: value})
        if name == "Powered" and not value:
            self.power_off()

    def power_off(self):
        pass

    @dbus.service.signal(PROPERTIES, signature="sa{sv}as")
    def PropertiesChanged(self, interface, changed, invalidated):
        pass


class Root(dbus.service.Object):
    @dbus.service.method(MANAGER, out_signature="a{oa{sa{sv}}}")
    def GetManagedObjects(self):
        things = {path: {thing.interface: thing.properties} for path, thing in known.items()}
        return dbus.Dictionary(things, signature="oa{sa{sv}}")

    @dbus.service.signal(MANAGER, signature="oa{sa{sv}}")
    def InterfacesAdded(self, path, interfaces):
        pass

    @dbus.service.signal(MANAGER, signature="oas")
    def InterfacesRemoved(self, path, interfaces):
        pass


def no():
    return dbus.Boolean(False)


def yes():
    return dbus.Boolean(True)


def plain(data):
    return dbus.Array([dbus.Byte(byte) for byte in data], signature="y")


class Device(Thing):
    @dbus.service.method(DEVICE, async_callbacks=("answer", "refuse"))
    def Connect(self, answer, refuse):
        calls.append("Connect")
        if self.properties["Address"] in hanging:
            return
        try:
            failure("Connect")
        except dbus.exceptions.DBusException as error:
            return refuse(error)
        if not self.properties["Connected"]:
            self.connect()
        answer()

    def connect(self):
        self.change({"Connected": yes()})
        for number, (uuid, characteristics) in enumerate(has.get(self.properties["Address"], {}).items()):
            path = "%s/service%04x" % (self.path, number * 256)
            Thing(path, SERVICE, {"UUID": full(uuid), "Primary": yes(), "Device": dbus.ObjectPath(self.path),
                                  "Includes": dbus.Array([], signature="o")})
            for place, (uuid, one) in enumerate(characteristics.items()):
                Characteristic("%s/char%04x" % (path, number * 256 + place + 1), CHARACTERISTIC, {
                    "UUID": full(uuid), "Service": dbus.ObjectPath(path), "Notifying": no(), "MTU": dbus.UInt16(23),
                    "Flags": dbus.Array(one["flags"], signature="s"), "Value": plain(bytes.fromhex(one["value"])),
                })
        GLib.timeout_add(50, lambda: self.change({"ServicesResolved": yes()}))

    @dbus.service.method(DEVICE)
    def Disconnect(self):
        calls.append("Disconnect")
        self.part()

    def part(self):
        for path in sorted((path for path in known if path.startswith(self.path + "/")), reverse=True):
            known[path].leave()
        self.change({"ServicesResolved": no()})
        self.change({"Connected": no()})


class Characteristic(Thing):
    @dbus.service.method(CHARACTERISTIC, in_signature="a{sv}", out_signature="ay")
    def ReadValue(self, options):
        calls.append("ReadValue")
        failure("ReadValue")
        return self.properties["Value"]

    @dbus.service.method(CHARACTERISTIC, in_signature="aya{sv}")
    def WriteValue(self, value, options):
        calls.append("WriteValue")
        failure("WriteValue")
        written.append(bytes(value).hex())

    @dbus.service.method(CHARACTERISTIC)
    def StartNotify(self):
        calls.append("StartNotify")
        self.change({"Notifying": yes()})

    @dbus.service.method(CHARACTERISTIC)
    def StopNotify(self):
        self.change({"Notifying": no()})


def full(uuid):
    return LONG % uuid if len(uuid) == 4 else uuid


class Radio(Thing):
    def __init__(self, name):
        super().__init__("/org/bluez/" + name, ADAPTER, {
            "Address": "00:11:22:33:44:55", "AddressType": "public", "Name": name, "Alias": name,
            "Modalias": "usb:v1D6Bp0246d0542", "Powered": dbus.Boolean(False), "Discovering": dbus.Boolean(False),
        })

    def power_off(self):
        self.change({"Discovering": no()})
        for thing in list(known.values()):
            if isinstance(thing, Device) and thing.path.startswith(self.path) and thing.properties["Connected"]:
                thing.part()

    @dbus.service.method(ADAPTER, in_signature="a{sv}")
    def SetDiscoveryFilter(self, filter):
        calls.append("SetDiscoveryFilter")

    @dbus.service.method(ADAPTER)
    def StartDiscovery(self):
        calls.append("StartDiscovery")
        failure("StartDiscovery")
        self.change({"Discovering": dbus.Boolean(True)})

    @dbus.service.method(ADAPTER)
    def StopDiscovery(self):
        calls.append("StopDiscovery")
        self.change({"Discovering": dbus.Boolean(False)})


def bytes_of(text):
    return dbus.Array([dbus.Byte(byte) for byte in bytes.fromhex(text)], signature="y", variant_level=1)


def advertise(command):
    radio = "/org/bluez/" + command.get("radio", "hci0")
    path = radio + "/dev_" + command["mac"].replace(":", "_")
    news = {}
    if "rssi" in command:
        news["RSSI"] = dbus.Int16(command["rssi"])
    if "name" in command:
        news["Name"] = command["name"]
    if "manufacturer_data" in command:
        fields = {dbus.UInt16(int(id, 16)): bytes_of(data) for id, data in command["manufacturer_data"].items()}
        news["ManufacturerData"] = dbus.Dictionary(fields, signature="qv")
    if "service_data" in command:
        fields = {LONG % id: bytes_of(data) for id, data in command["service_data"].items()}
        news["ServiceData"] = dbus.Dictionary(fields, signature="sv")
    if path in known:
        known[path].change(news)
        return
    Device(path, DEVICE, {
        "Address": command["mac"], "AddressType": "public", "Alias": command["mac"].replace(":", "-"),
        "Paired": no(), "Bonded": no(), "Trusted": no(), "Blocked": no(), "LegacyPairing": no(), "Connected": no(),
        "ServicesResolved": no(), "UUIDs": dbus.Array([], signature="s"), "Adapter": dbus.ObjectPath(radio), **news,
    })


def obey(command):
    what = command["do"]
    if what == "plug":
        Radio(command.get("radio", "hci0"))
    elif what == "pull":
        radio = "/org/bluez/" + command.get("radio", "hci0")
        for path in sorted((path for path in known if path.startswith(radio)), reverse=True):
            known[path].leave()
    elif what == "advertise":
        advertise(command)
    elif what == "has":
        has[command["mac"]] = command["services"]
    elif what == "notify":
        for thing in list(known.values()):
            is_it = isinstance(thing, Characteristic) and thing.properties["UUID"] == full(command["uuid"])
            if is_it and thing.properties["Notifying"]:
                thing.change({"Value": plain(bytes.fromhex(command["value"]))})
    elif what == "part":
        for thing in [thing for thing in known.values() if isinstance(thing, Device) and thing.properties["Connected"]]:
            thing.part()
    elif what == "forget":
        # Killed and begun anew: the kernel has kept the connections, nobody remembers who was to be notified.
        for thing in known.values():
            for name in ("Notifying", "Discovering"):
                if name in thing.properties:
                    thing.properties[name] = no()
        bus.release_name("org.bluez")
        bus.request_name("org.bluez")
    elif what == "hang":
        hanging.add(command["mac"])
    elif what == "block":
        known["/org/bluez/" + command.get("radio", "hci0")].change({"Powered": no()})
    elif what == "fail":
        failures[command["method"]] = command["times"]
    elif what == "stop":
        known["/org/bluez/hci0"].change({"Discovering": dbus.Boolean(False)})
    elif what == "vanish":
        for thing in list(known.values()):
            del known[thing.path]
            thing.remove_from_connection()
        bus.release_name("org.bluez")
    elif what == "return":
        bus.request_name("org.bluez")
    return {"calls": calls, "written": written, "is_scanning": any(thing.properties.get("Discovering") for thing in known.values())}


waiting = b""


def read(fd, condition):
    global waiting
    data = os.read(fd, 65536)
    if not data:
        loop.quit()
        return False
    waiting += data
    while b"\n" in waiting:
        line, waiting = waiting.split(b"\n", 1)
        print(json.dumps(obey(json.loads(line))), flush=True)
    return True


name = dbus.service.BusName("org.bluez", bus)
root = Root(bus, "/")
loop = GLib.MainLoop()
GLib.io_add_watch(0, GLib.IO_IN | GLib.IO_HUP, read)
print("{}", flush=True)
loop.run()
