"""Generated advertisements, and what independent Python packages read in them: one vector per line on stdout.

    python oracles.py FAMILY COUNT SEED [--time]

Each vector is as `tidegate decode --jsonl` takes it, with `expect`: what the package found, by our names; empty where
it found nothing. With `--time` the package alone reads its own advertisements as fast as it can, and advertisements
per second are printed.
"""

import json
import logging
import random
import struct
import sys
import time

logging.disable(logging.CRITICAL)
ADDRESS = "A4:C1:38:12:34:56"
LONG = "0000%s-0000-1000-8000-00805f9b34fb"
KEY = "231d39c1d7cc1ab1aee224cd096db932"


def vector(makers=None, services=None, name="", uuids=(), key=None, address=ADDRESS):
    row = {"mac": address, "name": name, "rssi": -60}
    if makers:
        row["manufacturer_data"] = {"%04x" % company: data.hex() for company, data in makers.items()}
    if services:
        row["service_data"] = {service: data.hex() for service, data in services.items()}
    if uuids:
        row["service_uuids"] = list(uuids)
    if key:
        row["key"] = key
    return row


def some(rng, count):
    return rng.randbytes(count)


def template(rng, text):
    """Hexadecimal digits; ?? is any byte."""
    return bytes(rng.randrange(256) if pair == "??" else int(pair, 16) for pair in text.split())


# --- families -------------------------------------------------------------------------------------------------------

def ruuvi(rng):
    kind = rng.choice([3, 5, 6])
    data = {3: "03" + " ??" * 13, 5: "05" + " ??" * 23, 6: "06" + " ??" * 19}[kind]
    data = bytearray(template(rng, data))
    if kind == 3:
        data[1] = rng.randrange(201)  # humidity in halves of a percent
        data[3] = rng.randrange(100)  # hundredths of a degree
    if rng.random() < 0.1 and kind == 5:
        field = rng.choice([(1, b"\x80\0"), (3, b"\xff\xff"), (5, b"\xff\xff"), (7, b"\x80\0\x80\0\x80\0"), (15, b"\xff")])
        data[field[0]:field[0] + len(field[1])] = field[1]
    return vector({0x0499: bytes(data)})


def bthome(rng):
    from bthome_ble.const import MEAS_TYPES

    objects = b""
    for _ in range(rng.randrange(1, 5)):
        number = rng.choice([one for one in MEAS_TYPES if one != 0x50])
        kind = MEAS_TYPES[number]
        if number in (0x53, 0x54):
            text = bytes(rng.choice(b"abcdefghij0123456789") for _ in range(rng.randrange(1, 7)))
            objects += bytes([number, len(text)]) + text
        elif number == 0x3A:
            objects += bytes([number, rng.choice([0, 1, 2, 3, 4, 5, 6, 0x80])])
        elif number == 0x3C:
            objects += bytes([number, rng.randrange(3), rng.randrange(256)])
        elif 0x0F <= number <= 0x2D or number in (0x11, 0x1A):
            length = 1 if "binary" in type(kind.meas_format).__name__.lower() else kind.data_length
            objects += bytes([number]) + (bytes([rng.randrange(2)]) if length == 1 else some(rng, length))
        else:
            objects += bytes([number]) + some(rng, kind.data_length)
    objects = objects[:20]
    if rng.random() < 0.5:
        return vector(services={"fcd2": b"\x40" + objects})
    return sealed(rng, objects)


def sealed(rng, objects):
    from cryptography.hazmat.primitives.ciphers.aead import AESCCM

    counter = struct.pack("<I", rng.randrange(1, 1 << 32))
    nonce = bytes.fromhex(ADDRESS.replace(":", "")) + b"\xd2\xfc\x41" + counter
    out = AESCCM(bytes.fromhex(KEY), tag_length=4).encrypt(nonce, objects, b"")
    data = b"\x41" + out[:-4] + counter + out[-4:]
    if rng.random() < 0.1:
        at = rng.randrange(1, len(data))
        data = data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1:]
    return vector(services={"fcd2": data}, key=KEY)


XIAOMI = {0x1004: 2, 0x1006: 2, 0x1007: 3, 0x1008: 1, 0x1009: 2, 0x100A: 1, 0x100D: 4, 0x1010: 2, 0x1012: 1, 0x1013: 1,
          0x1014: 1, 0x1015: 1, 0x1018: 1, 0x1019: 1, 0x4C01: 4, 0x4C02: 1, 0x4C08: 4, 0x4C03: 1, 0x4E01: 1, 0x4E1C: 1, 0x4801: 4,
          0x4802: 1, 0x4803: 1, 0x4804: 1, 0x4808: 4, 0x4A01: 1, 0x4A08: 4, 0x4A13: 1, 0x4818: 2}
XIAOMI_DEVICES = [0x0098, 0x01AA, 0x0576, 0x045B, 0x03BC, 0x0347, 0x0A8D, 0x2832, 0x16E4]


def xiaomi(rng):
    from cryptography.hazmat.primitives.ciphers.aead import AESCCM

    number = rng.choice(list(XIAOMI))
    value = some(rng, XIAOMI[number])
    if number in (0x4C01, 0x4C08, 0x4801, 0x4808):
        value = struct.pack("<f", round(rng.uniform(-40, 99), 2))
    if number in (0x1012, 0x1013, 0x1014, 0x1015, 0x1018, 0x1019, 0x4803, 0x4818, 0x4804, 0x4A13) and len(value) == 1:
        value = bytes([rng.randrange(2)])
    if number in (0x100A, 0x1008, 0x1013, 0x4E01, 0x4A01, 0x4C02, 0x4C03, 0x4802, 0x4803):
        value = bytes([rng.randrange(101)])
    if number == 0x4E1C:
        value = b"\0"
    item = struct.pack("<HB", number, len(value)) + value
    device = struct.pack("<H", rng.choice(XIAOMI_DEVICES))
    count = bytes([rng.randrange(256)])
    mac = bytes.fromhex(ADDRESS.replace(":", ""))[::-1]
    if rng.random() < 0.5:
        return vector(services={"fe95": struct.pack("<H", 0x5050) + device + count + mac + item})
    extension = some(rng, 3)
    nonce = mac + device + count + extension
    out = AESCCM(bytes.fromhex(KEY), tag_length=4).encrypt(nonce, item, b"\x11")
    data = struct.pack("<H", 0x5058) + device + count + mac + out[:-4] + extension + out[-4:]
    if rng.random() < 0.1:
        at = rng.randrange(11, len(data))
        data = data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1:]
    return vector(services={"fe95": data}, key=KEY)


def govee(rng):
    kind = rng.choice(["5075", "5074", "5101", "5179", "5051", "5106"])
    percent = rng.randrange(101)
    if kind in ("5075", "5101"):
        packed = rng.randrange(0, 99) * 10_000 + rng.randrange(0, 1000)
        if rng.random() < 0.3:
            packed = 0x800000 | rng.randrange(0, 39) * 10_000 + rng.randrange(0, 1000)
        triple = packed.to_bytes(3, "big")
        if kind == "5075":
            return vector({0xEC88: b"\0" + triple + bytes([percent, 0])}, name="GVH5075_1234", uuids=["ec88"])
        return vector({0x0001: b"\x01\x01" + triple + bytes([percent])}, name="GVH5101_1234", uuids=["ec88"])
    temperature, humidity = rng.randrange(-3900, 9900), rng.randrange(0, 10000)
    if kind in ("5074", "5051"):
        data = b"\0" + struct.pack("<hHB", temperature, humidity, percent) + b"\x02"
        if kind == "5051":
            data += b"\0\0"
        return vector({0xEC88: data}, name="Govee_H%s_1234" % kind, uuids=["ec88"])
    if kind == "5179":
        data = b"\xec\x00\x01\x01" + struct.pack("<hHB", temperature, humidity, percent)
        return vector({0x8801: data}, name="Govee_H5179_1234", uuids=["ec88"])
    value = rng.randrange(0, 800) * 1_000_000 + rng.randrange(0, 1000) * 1000 + rng.randrange(0, 999)
    return vector({0x0001: b"\x01\x01" + value.to_bytes(4, "big")}, name="GVH5106_1234", uuids=["ec88"])


def inkbird(rng):
    kind = rng.choice(["sps", "tps", "iBBQ2", "iBBQ4"])
    if kind in ("sps", "tps"):
        temperature, humidity = rng.randrange(-3900, 9900), rng.randrange(0, 10001)
        external, battery = rng.randrange(2), rng.randrange(101)
        company = temperature & 0xFFFF
        data = struct.pack("<HB", humidity, external) + some(rng, 2) + bytes([battery, rng.randrange(256)])
        return vector({company: data}, name=kind, uuids=["fff0"])
    probes = int(kind[-1])
    values = [rng.choice([0xFFF6, rng.randrange(0, 3000)]) for _ in range(probes)]
    data = b"\0\0" + bytes.fromhex(ADDRESS.replace(":", ""))[:6] + struct.pack("<%dH" % probes, *values)
    return vector({0x0000: data}, name="iBBQ", uuids=["fff0"])


def sensorpush(rng):
    kind = rng.choice(["HT.w", "HTP.xw", "HT1"])
    if kind == "HT1":
        data = some(rng, 2) + bytes([rng.randrange(256), 4 | rng.randrange(4)])
        company = int.from_bytes(data[:2], "little")
        return vector({company: data[2:]}, name="s", uuids=["ef090000-11d6-42ba-93b8-9dd7ec090aa9"])
    from sensorpush_ble import parser

    type_id = {"HT.w": 65, "HTP.xw": 64}[kind]
    packed, weight = 0, 1
    for low, high, step in parser.SENSORPUSH_PACK_PARAMS[type_id]:
        count = int((high - low) / step + step / 2.0) + 1
        packed += rng.randrange(count) * weight
        weight *= count
    data = bytes([(type_id - 64) << 2]) + packed.to_bytes((weight.bit_length() + 7) // 8, "little")
    company = int.from_bytes(data[:2], "little")
    return vector({company: data[2:]}, name="SensorPush %s 1A2B" % kind, uuids=["ef090000-11d6-42ba-93b8-9dd7ec090ab0"])


QINGPING = {0x01: 4, 0x02: 1, 0x04: 1, 0x07: 2, 0x09: 4, 0x11: 1, 0x12: 4, 0x13: 2, 0x0F: 1, 0x08: 4}


def qingping(rng):
    body = b""
    for _ in range(rng.randrange(1, 4)):
        kind = rng.choice(list(QINGPING))
        value = some(rng, QINGPING[kind])
        if kind == 0x01:
            value = struct.pack("<hH", rng.randrange(-400, 999), rng.randrange(0, 1000))
        if kind == 0x02:
            value = bytes([rng.randrange(101)])
        if kind in (0x04, 0x11):
            value = bytes([rng.randrange(2)])
        if kind == 0x08:
            value = bytes([rng.randrange(2)]) + some(rng, 3)
        body += bytes([kind, len(value)]) + value
    device = rng.choice([0x01, 0x09, 0x0C, 0x0E, 0x10, 0x12, 0x04])
    head = bytes([rng.choice([0x08, 0x88]), device]) + bytes.fromhex(ADDRESS.replace(":", ""))[::-1]
    return vector(services={"fdcd": head + body})


def thermopro(rng):
    temperature, humidity = rng.randrange(-390, 990), rng.randrange(0, 101)
    company = 0xC2 | (temperature & 0xFF) << 8
    data = bytes([temperature >> 8 & 0xFF, humidity, rng.choice([0, 1, 2, 0x22]), rng.randrange(256)])
    return vector({company: data}, name=rng.choice(["TP357 (3456)", "TP359 (3456)", "TP393 (3456)"]))


def thermobeacon(rng):
    device = rng.choice([0x10, 0x11, 0x15, 0x18, 0x1B])
    button = rng.choice([0, 0x80])
    values = struct.pack("<HhH", rng.randrange(2200, 3400), rng.randrange(-640, 1600), rng.randrange(0, 1601))
    data = bytes([0, button]) + bytes.fromhex(ADDRESS.replace(":", ""))[::-1] + values + struct.pack("<I", rng.randrange(1 << 31))
    return vector({device: data}, name="ThermoBeacon", uuids=["fff0"])


# --- packages -------------------------------------------------------------------------------------------------------

SILENT = ("signal_strength", "packet", "firmware_version")


def update_of(package, row):
    """What a package of the Home Assistant family found."""
    from bleak.backends.device import BLEDevice
    from habluetooth import BluetoothServiceInfoBleak

    makers = {int(one, 16): bytes.fromhex(data) for one, data in row.get("manufacturer_data", {}).items()}
    services = {LONG % one: bytes.fromhex(data) for one, data in row.get("service_data", {}).items()}
    uuids = [LONG % one if len(one) == 4 else one for one in row.get("service_uuids", [])]
    info = BluetoothServiceInfoBleak(
        name=row["name"] or row["mac"], address=row["mac"], rssi=-60, manufacturer_data=makers, service_data=services,
        service_uuids=uuids, source="x", device=BLEDevice(row["mac"], row["name"], None), advertisement=None,
        connectable=False, time=time.monotonic(), tx_power=None)
    key = bytes.fromhex(row["key"]) if "key" in row else None
    return package(key).update(info)


def word(key):
    return key if isinstance(key, str) else key[-1]


def named(update):
    found = {}
    for key, one in update.entity_values.items():
        found[word(key.key)] = one.native_value
    for key, one in update.binary_entity_values.items():
        found["is:" + word(key.key)] = bool(one.native_value)
    for key, one in update.events.items():
        found["event:" + word(key.key)] = one.event_type
    out = {}
    for key, value in found.items():
        if value is None or key.startswith(SILENT) or value == "error":
            continue
        if hasattr(value, "timestamp"):
            value = int(value.timestamp())
        out[key] = value if isinstance(value, (int, float, bool, str)) else str(value)
    return out


def package_of(family):
    if family == "ruuvi":
        from ruuvitag_ble import RuuvitagBluetoothDeviceData as one
    elif family == "bthome":
        from bthome_ble import BTHomeBluetoothDeviceData as one
        return lambda key: one(bindkey=key)
    elif family == "xiaomi":
        from xiaomi_ble import XiaomiBluetoothDeviceData as one
        return lambda key: one(bindkey=key)
    elif family == "govee":
        from govee_ble import GoveeBluetoothDeviceData as one
    elif family == "inkbird":
        from inkbird_ble import INKBIRDBluetoothDeviceData as one
    elif family == "sensorpush":
        from sensorpush_ble import SensorPushBluetoothDeviceData as one
    elif family == "qingping":
        from qingping_ble import QingpingBluetoothDeviceData as one
    elif family == "thermopro":
        from thermopro_ble import ThermoProBluetoothDeviceData as one
    elif family == "thermobeacon":
        from thermobeacon_ble import ThermoBeaconBluetoothDeviceData as one
    return lambda _: one()


FAMILIES = ["ruuvi", "bthome", "xiaomi", "govee", "inkbird", "sensorpush", "qingping", "thermopro", "thermobeacon"]
THEENGS = {"tempc": "temperature", "hum": "humidity", "batt": "battery", "volt": "voltage", "pres": "pressure", "co2": "co2",
           "lux": "illuminance", "moi": "moisture", "fer": "conductivity", "pm25": "pm25", "pm10": "pm10", "for": "formaldehyde",
           "tempc2": "temperature_2", "tempc1": "temperature"}


def theengs_of(row):
    from TheengsDecoder import decodeBLE

    asked = {"id": row["mac"], "rssi": -60}
    if row["name"]:
        asked["name"] = row["name"]
    for company, data in row.get("manufacturer_data", {}).items():
        asked["manufacturerdata"] = company[2:] + company[:2] + data
    for service, data in row.get("service_data", {}).items():
        asked["servicedata"], asked["servicedatauuid"] = data, "0x" + service
    answer = decodeBLE(json.dumps(asked))
    found = json.loads(answer) if answer else {}
    return {THEENGS[key]: value for key, value in found.items() if key in THEENGS}


def main():
    family, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    rng = random.Random(seed)
    if family == "theengs":
        rows = [globals()[rng.choice(FAMILIES)](rng) for _ in range(count)]
        rows = [row for row in rows if "key" not in row]
        read = theengs_of
    else:
        rows = [globals()[family](rng) for _ in range(count)]
        package = package_of(family)

        def read(row):
            try:
                return named(update_of(package, row))
            except Exception as error:  # a package that falls over has found nothing
                return {"raised": type(error).__name__}

    if "--time" in sys.argv:
        began = time.process_time()
        for row in rows:
            read(row)
        print(len(rows) / (time.process_time() - began))
        return
    for number, row in enumerate(rows):
        print(json.dumps({"id": number, **row, "expect": read(row)}))


if __name__ == "__main__":
    main()
