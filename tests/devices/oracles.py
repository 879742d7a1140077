"""Generated frames, and what independent Python packages read in them: one vector per line on stdout.

    python oracles.py PACKAGE COUNT SEED

Each vector is as `tidegate decode --jsonl` takes it, with `expect`: the readings that the package found. With the
argument `--time` behind them, the package alone reads its own frames as fast as it can, and frames per second are printed;
with `--clean` no frame is damaged and no garbage stands between them.
"""

import json
import math
import random
import struct
import sys
import time


def xor(text):
    value = 0
    for byte in text.encode():
        value ^= byte
    return value


def row(number, sensor, stream, expect, request=None):
    vector = {"id": number, "sensor": sensor, "stream_hex": stream.hex(), "expect": expect}
    if request:
        vector["request_hex"] = request.hex()
    return vector


def damaged(rng, frame, guarded):
    """The frame with one bit changed in the part that its checksum guards."""
    first, last = guarded
    at = rng.randrange(first, last)
    changed = bytearray(frame)
    changed[at] ^= 1 << rng.randrange(8)
    return bytes(changed)


def nmea(rng):
    import pynmea2

    def position():
        return ("%02d%07.4f" % (rng.randrange(90), rng.random() * 59.999), rng.choice("NS"),
                "%03d%07.4f" % (rng.randrange(180), rng.random() * 59.999), rng.choice("EW"))

    kind = rng.choice(["GGA", "RMC", "VTG", "MWV", "XDR", "MTW"])
    talker = rng.choice(["GP", "GN", "GL", "II", "WI"])
    if kind == "GGA":
        body = "GGA,%06d,%s,%s,%s,%s,%d,%02d,%.1f,%.1f,M,46.9,M,," % (
            rng.randrange(24) * 10000 + rng.randrange(60) * 100 + rng.randrange(60), *position(), rng.randrange(1, 6),
            rng.randrange(24), rng.random() * 20, rng.uniform(-100, 4000))
    elif kind == "RMC":
        body = "RMC,%02d%02d%02d,%s,%s,%s,%s,%s,%.1f,%.1f,%02d%02d%02d,," % (
            rng.randrange(24), rng.randrange(60), rng.randrange(60), rng.choice("AV"), *position(), rng.random() * 60,
            rng.random() * 360, rng.randrange(1, 29), rng.randrange(1, 13), rng.choice([94, 99, 0, 26, 40]))
    elif kind == "VTG":
        body = "VTG,%.1f,T,%.1f,M,%.1f,N,%.1f,K" % tuple(rng.random() * 300 for _ in range(4))
    elif kind == "MWV":
        body = "MWV,%.1f,%s,%.1f,%s,A" % (rng.random() * 360, rng.choice("RT"), rng.random() * 50, rng.choice("KMN"))
    elif kind == "XDR":
        body = "XDR,C,%.1f,C,A,P,%.4f,B,B,H,%.1f,P,C" % (rng.uniform(-40, 60), rng.uniform(0.9, 1.1), rng.random() * 100)
    else:
        body = "MTW,%.1f,C" % rng.uniform(-2, 40)
    sentence = "$%s%s*%02X" % (talker, body, xor(talker + body))
    message = pynmea2.parse(sentence, check=True)
    if kind == "GGA":
        expect = {"latitude": message.latitude, "longitude": message.longitude, "fix_quality": message.gps_qual,
                  "satellites": int(message.num_sats), "hdop": float(message.horizontal_dil),
                  "altitude": float(message.altitude)}
    elif kind == "RMC":
        expect = {"latitude": message.latitude, "longitude": message.longitude, "speed_kn": message.spd_over_grnd,
                  "course": message.true_course, "valid": message.status == "A",
                  "timestamp": message.datetime.strftime("%Y-%m-%dT%H:%M:%SZ")}
    elif kind == "VTG":
        expect = {"course": message.true_track, "speed_kn": message.spd_over_grnd_kts}
        expect = {name: float(value) for name, value in expect.items()}
    elif kind == "MWV":
        expect = {"wind_angle": float(message.wind_angle), "wind_reference": message.reference,
                  "wind_speed": float(message.wind_speed), "wind_unit": message.wind_speed_units}
    elif kind == "XDR":
        expect = {}
        for at in range(message.num_transducers):
            transducer = message.get_transducer(at)
            name, scale = {"C": ("temperature", 1), "P": ("pressure", 1000), "H": ("humidity", 1)}[transducer.type]
            expect[name] = float(transducer.value) * scale
    else:
        expect = {"temperature": float(message.temperature)}
    stream = (sentence + "\r\n").encode()
    read = lambda: pynmea2.parse(sentence, check=True)
    return {"profile": "nmea0183"}, stream, [expect], (1, len(sentence) - 3), None, read


def dsmr(rng):
    from dsmr_parser import telegram_specifications
    from dsmr_parser.parsers import TelegramParser

    values = [rng.random() * 99999 for _ in range(4)]
    power, back = rng.random() * 20, rng.random() * 20
    volts, tariff, gas = [rng.uniform(200, 250) for _ in range(3)], rng.randrange(1, 3), rng.random() * 9999
    text = "/XMX5LGF001045290001\r\n\r\n1-3:0.2.8(50)\r\n0-0:1.0.0(261122120001W)\r\n0-0:96.1.1(45303031)\r\n"
    for code, value in zip(["1.8.1", "1.8.2", "2.8.1", "2.8.2"], values):
        text += "1-0:%s(%010.3f*kWh)\r\n" % (code, value)
    text += "0-0:96.14.0(%04d)\r\n1-0:1.7.0(%06.3f*kW)\r\n1-0:2.7.0(%06.3f*kW)\r\n" % (tariff, power, back)
    for code, value in zip([32, 52, 72], volts):
        text += "1-0:%d.7.0(%05.1f*V)\r\n" % (code, value)
    text += "0-1:24.1.0(003)\r\n0-1:96.1.0(47303033393030313631)\r\n0-1:24.2.1(261122115500W)(%09.3f*m3)\r\n!" % gas
    text += "%04X\r\n" % TelegramParser.crc16(text)
    parser = TelegramParser(telegram_specifications.V5, apply_checksum_validation=True)
    telegram = parser.parse(text)
    expect = {"energy_import_t1": telegram.ELECTRICITY_USED_TARIFF_1.value,
              "energy_import_t2": telegram.ELECTRICITY_USED_TARIFF_2.value,
              "energy_export_t1": telegram.ELECTRICITY_DELIVERED_TARIFF_1.value,
              "energy_export_t2": telegram.ELECTRICITY_DELIVERED_TARIFF_2.value,
              "power_import": telegram.CURRENT_ELECTRICITY_USAGE.value * 1000,
              "power_export": telegram.CURRENT_ELECTRICITY_DELIVERY.value * 1000,
              "tariff": int(telegram.ELECTRICITY_ACTIVE_TARIFF.value),
              "voltage_l1": telegram.INSTANTANEOUS_VOLTAGE_L1.value,
              "voltage_l2": telegram.INSTANTANEOUS_VOLTAGE_L2.value,
              "voltage_l3": telegram.INSTANTANEOUS_VOLTAGE_L3.value}
    expect = {name: float(value) for name, value in expect.items()}
    expect["gas"] = float(telegram.MBUS_DEVICES[0].MBUS_METER_READING.value)
    stream = text.encode()
    if rng.random() < 0.4:
        return sealed(rng, stream, expect)
    return {"profile": "dsmr-p1"}, stream, [expect], (1, len(stream) - 7), None, lambda: parser.parse(text)


def sealed(rng, telegram, expect):
    """The telegram in a general global cipher, as the package opens it."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from dsmr_parser import telegram_specifications
    from dsmr_parser.parsers import TelegramParser

    key, other, title = rng.randbytes(16), rng.randbytes(16), b"SAG" + rng.randbytes(5)
    counter = rng.randbytes(4)
    closed = AESGCM(key).encrypt(title + counter, telegram, b"\x30" + other)[:-4]
    stream = b"\xdb\x08" + title + b"\x82" + struct.pack(">H", 5 + len(closed)) + b"\x30" + counter + closed
    parser = TelegramParser(dict(telegram_specifications.V5, general_global_cipher=True), apply_checksum_validation=True)
    read = lambda: parser.parse(stream.hex(), key.hex(), other.hex())
    assert float(read().ELECTRICITY_USED_TARIFF_1.value) == expect["energy_import_t1"]
    sensor = {"profile": "dsmr-p1", "key": key.hex(), "authentication_key": other.hex()}
    return sensor, stream, [expect], (2, len(stream)), None, read


def sml(rng):
    from smllib import SmlStreamReader

    def octets(value):
        return bytes([len(value) + 1]) + value

    def signed(value):
        size = next(size for size in (1, 2, 4, 8) if -(1 << (size * 8 - 1)) <= value < 1 << (size * 8 - 1))
        return bytes([0x50 | size + 1]) + value.to_bytes(size, "big", signed=True)

    def entry(code, unit, scaler, value):
        return b"\x77" + octets(code) + b"\x01\x01" + bytes([0x62, unit]) + signed(scaler) + signed(value) + b"\x01"

    names = {bytes([1, 0, 1, 8, 0, 255]): ("energy_import", 0x1E, 0.001), bytes([1, 0, 2, 8, 0, 255]): ("energy_export", 0x1E, 0.001),
             bytes([1, 0, 16, 7, 0, 255]): ("power", 0x1B, 1), bytes([1, 0, 36, 7, 0, 255]): ("power_l1", 0x1B, 1),
             bytes([1, 0, 32, 7, 0, 255]): ("voltage_l1", 0x23, 1), bytes([1, 0, 31, 7, 0, 255]): ("current_l1", 0x21, 1)}
    entries = [entry(code, unit, rng.randrange(-3, 2), rng.randrange(-(1 << 30), 1 << 40 if unit == 0x1E else 1 << 20))
               for code, (_, unit, _) in names.items()]

    def message(number, body):
        data = b"\x76" + octets(b"\x00" + bytes([number])) + b"\x62\x00\x62\x00" + body
        from smllib.crc import kermit
        return data + b"\x63" + kermit.get_crc(memoryview(data)).to_bytes(2, "big") + b"\x00"

    entries_list = bytes([0x70 | len(entries)]) + b"".join(entries)
    opening = message(1, b"\x72\x63\x01\x01\x76\x01\x01" + octets(b"\x01\x02") + octets(b"\x0b\x0a") + b"\x01\x01")
    values = message(2, b"\x72\x63\x07\x01\x77\x01" + octets(b"\x0b\x0a") + b"\x01\x01" + entries_list + b"\x01\x01")
    closing = message(3, b"\x72\x63\x02\x01\x71\x01")
    payload = opening + values + closing
    payload = payload.replace(b"\x1b" * 4, b"\x1b" * 8)
    fill = -len(payload) % 4
    stream = b"\x1b\x1b\x1b\x1b\x01\x01\x01\x01" + payload + b"\x00" * fill + b"\x1b\x1b\x1b\x1b\x1a" + bytes([fill])
    from smllib.crc import x25
    stream += x25.get_crc(memoryview(stream)).to_bytes(2, "big")

    def read():
        reader = SmlStreamReader()
        reader.add(stream)
        return reader.get_frame().get_obis()

    expect = {}
    for one in read():
        name, _, scale = names[bytes.fromhex(one.obis)]
        expect[name] = one.get_value() * scale
    return {"profile": "sml"}, stream, [expect], (8, len(stream) - 8), None, read


def m_bus(rng):
    import meterbus

    def bcd(value, digits):
        return bytes.fromhex("%0*d" % (digits, value))[::-1]

    # DIF, VIF, digits or bytes, name, factor from what the package says.
    kinds = [(0x0C, 0x06, "bcd8", "energy", 0.001), (0x0C, 0x13, "bcd8", "volume_m3", 1), (0x0B, 0x2D, "bcd6", "power", 1),
             (0x0A, 0x5A, "bcd4", "flow_temperature", 1), (0x0A, 0x5E, "bcd4", "return_temperature", 1),
             (0x02, 0x62, "int2", "temperature_difference", 1), (0x04, 0x3B, "int4", "volume_flow", 1)]
    chosen = rng.sample(kinds, rng.randrange(2, len(kinds)))
    records = b""
    for dif, vif, form, _, _ in chosen:
        if form.startswith("bcd"):
            digits = int(form[3:])
            data = bcd(rng.randrange(10 ** digits), digits)
        else:
            size = int(form[3:])
            data = rng.randrange(-(1 << (size * 8 - 1)), 1 << (size * 8 - 1)).to_bytes(size, "little", signed=True)
        records += bytes([dif, vif]) + data
        if rng.random() < 0.3:
            # What it was at the due date is not what it is.
            records += bytes([dif | 0x40, vif]) + data
    number = rng.randrange(10 ** 8)
    body = bytes([0x08, rng.randrange(1, 251), 0x72]) + bcd(number, 8) + b"\x24\x23\x28\x04" + bytes([rng.randrange(256), 0, 0, 0]) + records
    stream = bytes([0x68, len(body), len(body), 0x68]) + body + bytes([sum(body) & 0xFF, 0x16])
    read = lambda: [record.parsed_value for record in meterbus.load(stream).records]
    telegram = meterbus.load(stream)
    expect = {"meter_id": "%08d" % number, "manufacturer": telegram.body.bodyHeader.interpreted["manufacturer"]}
    names = {(vif, dif): (name, factor) for dif, vif, _, name, factor in chosen}
    for record in telegram.records:
        key = (record.vib.parts[0], record.dib.parts[0])
        if key in names and names[key][0] not in expect:
            name, factor = names[key]
            expect[name] = float(record.parsed_value) * factor
    return {"profile": "m-bus"}, stream, [expect], (4, len(stream) - 2), None, read


def modbus(rng):
    import minimalmodbus

    crc = getattr(minimalmodbus, "_calculate_crc")
    floats = getattr(minimalmodbus, "_float_to_bytes")
    back = getattr(minimalmodbus, "_bytes_to_float")
    names = [("voltage_l1", 0), ("voltage_l2", 2), ("voltage_l3", 4), ("current_l1", 6), ("power", 0x34), ("frequency", 0x46)]
    at = rng.randrange(len(names))
    chosen = names[at:at + rng.randrange(1, 4)] if names[at][1] < 6 else [names[at]]
    chosen = [one for one in chosen if one[1] <= 6] if names[at][1] <= 6 else chosen
    unit = rng.randrange(1, 248)
    data = b"".join(floats(rng.choice([-1, 1]) * rng.random() * 10 ** rng.randrange(5)) for _ in chosen)
    request = struct.pack(">BBHH", unit, 4, chosen[0][1], len(data) // 2)
    request += crc(request)
    answer = bytes([unit, 4, len(data)]) + data
    stream = answer + crc(answer)
    expect = {name: back(data[4 * place:4 * place + 4]) for place, (name, _) in enumerate(chosen)}

    def read():
        crc(stream[:-2])
        return [back(data[place:place + 4]) for place in range(0, len(data), 4)]

    return {"profile": "eastron-sdm630"}, stream, [expect], (0, len(stream)), request, read


def stuffed(profile, encode, decode, end):
    def make(rng):
        values = (rng.randrange(-32768, 32768), rng.randrange(65536), rng.choice([0, 0xC0DBDCDD, rng.randrange(1 << 32)]))
        payload = struct.pack("<hHI", *values)
        stream = encode(payload) + end
        a, b, count = struct.unpack("<hHI", decode(encode(payload)))
        expect = {"a": round(a / 100, 2), "b": round(b / 100, 2), "count": count}
        return {"profile": profile}, stream, [expect], None, None, lambda: struct.unpack("<hHI", decode(stream[:len(stream) - len(end)]))
    return make


def cobs():
    from cobs import cobs as package
    return stuffed("stuffed-cobs", package.encode, package.decode, b"\x00")


def slip():
    import sliplib
    return stuffed("stuffed-slip", sliplib.encode, sliplib.decode, b"\xc0")


MAKERS = {"pynmea2": lambda: nmea, "dsmr-parser": lambda: dsmr, "smllib": lambda: sml, "pyMeterBus": lambda: m_bus,
          "minimalmodbus": lambda: modbus, "cobs": cobs, "sliplib": slip}


def main():
    package, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    rng, make = random.Random(seed), MAKERS[package]()
    readers = []
    for number in range(count):
        sensor, stream, expect, guarded, request, read = make(rng)
        readers.append(read)
        if "--time" in sys.argv:
            continue
        if "--clean" in sys.argv:
            print(json.dumps(row(number, sensor, stream, expect, request)))
            continue
        if guarded and number % 5 == 4:
            # One bit wrong, then the frame whole: the package would refuse the first, and so must we.
            stream = damaged(rng, stream, guarded) + stream
        elif number % 5 == 3:
            # Where nothing but an end tells frames apart, garbage has one too.
            end = b"" if guarded else stream[-1:]
            stream = bytes(rng.randrange(1, 0x20) for _ in range(rng.randrange(6))) + end + stream
        print(json.dumps(row(number, sensor, stream, expect, request)))
    if "--time" in sys.argv:
        start = time.process_time()
        for read in readers:
            read()
        print(count / max(time.process_time() - start, 1e-9))


main()
