// What scripts find beside the language and the types: the helpers of the
// server's global scope.
(function (global) {
  "use strict";

  // Recursive parsers are kept from texts that would exhaust their stack.
  const nested = global.__nested;
  delete global.__nested;
  const evaluate = global.eval;
  global.eval = function (src) {
    if (typeof src === "string") nested(src);
    return evaluate(src);
  };
  const parse = JSON.parse;
  JSON.parse = function (text, reviver) {
    nested(text = String(text));
    return parse(text, reviver);
  };
  for (const sample of [function () {}, function* () {}, async function () {}]) {
    const proto = Object.getPrototypeOf(sample);
    const make = proto.constructor;
    const guarded = function (...args) {
      args.forEach((a) => nested(String(a)));
      return make(...args);
    };
    guarded.prototype = make.prototype;
    Object.defineProperty(proto, "constructor", { value: guarded, configurable: true });
    if (make === global.Function) global.Function = guarded;
  }
  const maxString = 1 << 28;
  for (const name of ["repeat", "padStart", "padEnd"]) {
    const method = String.prototype[name];
    String.prototype[name] = function (n, ...rest) {
      const size = name === "repeat" ? n * String(this).length : n;
      if (size > maxString) throw new RangeError("invalid string length");
      return method.call(this, n, ...rest);
    };
  }

  const isType = (name) => (x) => typeof x === name;
  global.isString = isType("string");
  global.isNumber = isType("number");
  global.isObject = isType("object");

  global.doassert = function (msg, obj) {
    if (typeof msg === "function") msg = msg();
    if (typeof msg === "object") msg = tojson(msg);
    throw new Error(obj === undefined ? msg : msg + tojson(obj));
  };
  const because = (msg) => (msg === undefined ? "" : " : " + (typeof msg === "function" ? msg() : typeof msg === "object" ? tojson(msg) : msg));
  const assert = function (ok, msg) {
    if (!ok) doassert(msg === undefined ? "assert failed" : "assert failed" + because(msg));
  };
  const same = (a, b) => a === b || a == b || (a != null && b != null && tojson(a) === tojson(b));
  assert.eq = function (a, b, msg) {
    if (!same(a, b)) doassert("[" + tojson(a) + "] and [" + tojson(b) + "] are not equal" + because(msg));
  };
  assert.neq = function (a, b, msg) {
    if (same(a, b)) doassert("[" + tojson(a) + "] and [" + tojson(b) + "] are equal" + because(msg));
  };
  const ordered = { lt: [(a, b) => a < b, "less than"], gt: [(a, b) => a > b, "greater than"],
    lte: [(a, b) => a <= b, "less than or equal to"], gte: [(a, b) => a >= b, "greater than or equal to"] };
  for (const name in ordered) {
    const [holds, words] = ordered[name];
    assert[name] = function (a, b, msg) {
      if (!holds(a, b)) doassert(tojson(a) + " is not " + words + " " + tojson(b) + because(msg));
    };
  }
  assert.throws = function (f, args, msg) {
    try {
      f.apply(null, args || []);
    } catch (e) {
      return e;
    }
    return doassert("did not throw exception" + because(msg));
  };
  assert.doesNotThrow = function (f, args, msg) {
    try {
      return f.apply(null, args || []);
    } catch (e) {
      return doassert("threw unexpected exception: " + e + because(msg));
    }
  };
  assert.contains = function (x, list, msg) {
    assert(list.some((y) => same(x, y)), tojson(x) + " was not in " + tojson(list) + because(msg));
  };
  global.assert = assert;

  const needArray = (name, a) => {
    if (!Array.isArray(a)) throw new Error("The first argument to Array." + name + " must be an array");
  };
  Array.contains = (a, x) => {
    needArray("contains", a);
    return a.some((y) => y == x);
  };
  Array.unique = (a) => {
    needArray("unique", a);
    return [...new Set(a)];
  };
  Array.sum = (a) => {
    needArray("sum", a);
    return a.length === 0 ? null : a.slice(1).reduce((s, x) => s + x, a[0]);
  };
  Array.avg = (a) => {
    needArray("avg", a);
    return a.length === 0 ? null : Array.sum(a) / a.length;
  };
  Array.stdDev = (a) => {
    needArray("stdDev", a);
    const mean = Array.avg(a);
    return Math.sqrt(a.reduce((s, x) => s + (x - mean) ** 2, 0) / a.length);
  };
  Array.shuffle = (a) => {
    needArray("shuffle", a);
    for (let i = a.length - 1; i > 0; i--) {
      const j = Math.floor(Math.random() * (i + 1));
      [a[i], a[j]] = [a[j], a[i]];
    }
    return a;
  };

  Object.extend = function (dst, src, deep) {
    for (const k in src) {
      let v = src[k];
      if (deep && v !== null && typeof v === "object" && (Array.isArray(v) || Object.getPrototypeOf(v) === Object.prototype)) {
        v = Object.extend(Array.isArray(v) ? [] : {}, v, true);
      }
      dst[k] = v;
    }
    return dst;
  };
  Object.merge = (a, b, deep) => Object.extend(Object.extend({}, a, deep), b, deep);
  Object.keySet = (o) => Object.keys(o);

  String.prototype.ltrim = String.prototype.trimStart;
  String.prototype.rtrim = String.prototype.trimEnd;
  String.prototype.pad = function (n, right, chr) {
    return right ? this.padEnd(n, chr) : this.padStart(n, chr);
  };
  Number.prototype.zeroPad = function (n) {
    return String(this).padStart(n, "0");
  };
  Number.prototype.toPercentStr = function () {
    return (this * 100).toFixed(2) + "%";
  };

  const methods = (type, all) => {
    for (const name in all) Object.defineProperty(type.prototype, name, { value: all[name], writable: true, configurable: true });
    if (!("tojson" in all)) {
      Object.defineProperty(type.prototype, "tojson", { value: function () { return this.toString(); }, writable: true, configurable: true });
    }
  };
  methods(ObjectId, {
    toString() { return 'ObjectId("' + this.str + '")'; },
    valueOf() { return this.str; },
    getTimestamp() { return new Date(parseInt(this.str.slice(0, 8), 16) * 1000); },
    equals(other) { return this.str == other.str; },
    toJSON() { return { $oid: this.str }; },
  });
  methods(NumberLong, {
    toString() { return this.top === undefined || Math.abs(this.floatApprox) < 2 ** 31 ? "NumberLong(" + this.exactValueString + ")" : 'NumberLong("' + this.exactValueString + '")'; },
    valueOf() { return this.floatApprox; },
    toNumber() { return this.floatApprox; },
    compare(other) {
      const a = BigInt(this.exactValueString), b = BigInt(NumberLong(other).exactValueString);
      return a < b ? -1 : a > b ? 1 : 0;
    },
    toJSON() { return { $numberLong: this.exactValueString }; },
  });
  methods(NumberInt, {
    toString() { return "NumberInt(" + this.floatApprox + ")"; },
    valueOf() { return this.floatApprox; },
    toNumber() { return this.floatApprox; },
    toJSON() { return this.floatApprox; },
  });
  methods(NumberDecimal, {
    toString() { return 'NumberDecimal("' + this.text + '")'; },
    equals(other) { return numberDecimalsEqual(this, other); },
    toJSON() { return { $numberDecimal: this.text }; },
  });
  methods(Timestamp, {
    toString() { return "Timestamp(" + this.t + ", " + this.i + ")"; },
    toStringIncomparable() { return this.toString(); },
    getTime() { return this.t; },
    getInc() { return this.i; },
    toJSON() { return { $timestamp: { t: this.t, i: this.i } }; },
  });
  methods(BinData, {
    toString() {
      if (this.type === 4 && this.len === 16) return 'UUID("' + this.digits().replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-") + '")';
      return "BinData(" + this.type + ',"' + this.data() + '")';
    },
    hex() { return this.digits(); },
    base64() { return this.data(); },
    subtype() { return this.type; },
    length() { return this.len; },
    toJSON() { return { $binary: this.data(), $type: this.type.toString(16).padStart(2, "0") }; },
  });
  methods(MinKey, { toString() { return '{ "$minKey" : 1 }'; }, toJSON() { return { $minKey: 1 }; } });
  methods(MaxKey, { toString() { return '{ "$maxKey" : 1 }'; }, toJSON() { return { $maxKey: 1 }; } });
  methods(DBPointer, {
    toString() { return "DBPointer(" + tojson(this.ns) + ", " + tojson(this.id) + ")"; },
    getCollection() { return this.ns; },
    getId() { return this.id; },
  });
  methods(DBRef, {
    toString() { return "DBRef(" + tojson(this.$ref) + ", " + tojson(this.$id) + (this.$db ? ", " + tojson(this.$db) : "") + ")"; },
    getCollection() { return this.$ref; },
    getRef() { return this.$ref; },
    getId() { return this.$id; },
    getDb() { return this.$db; },
  });
  methods(Code, { toString() { return "Code(" + tojson(this.code) + ", " + tojson(this.scope) + ")"; } });

  const isoDate = /^(\d{4})-?(\d\d)-?(\d\d)(?:[T ](\d\d)(?::?(\d\d)(?::?(\d\d(?:\.\d+)?))?)?(Z|[+-]\d\d:?(?:\d\d)?)?)?$/;
  global.ISODate = function (text) {
    if (!text) return new Date();
    const m = isoDate.exec(text);
    if (!m) throw new Error("invalid ISO date: " + text);
    const [, year, month, day, hour, minute, second, zone] = m;
    const d = new Date(0);
    d.setUTCFullYear(+year, month - 1, +day);
    d.setUTCHours(+(hour || 0), +(minute || 0), 0, 0);
    let ms = d.getTime() + Math.round(parseFloat(second || 0) * 1000);
    if (zone && zone !== "Z") {
      const minutes = +zone.slice(1, 3) * 60 + +(zone.slice(3).replace(":", "") || 0);
      ms -= (zone[0] === "-" ? -minutes : minutes) * 60000;
    }
    return new Date(ms);
  };
  Object.defineProperty(Date.prototype, "tojson", {
    value() { return 'ISODate("' + (isNaN(this) ? "0NaN-NaN-NaNTNaN:NaN:NaNZ" : this.toISOString().replace(".000Z", "Z")) + '")'; },
    writable: true, configurable: true,
  });
  Object.defineProperty(RegExp.prototype, "tojson", { value() { return this.toString(); }, writable: true, configurable: true });

  // tojson renders a value the way the shell does.
  const maxDepth = 100;
  const tojson = function (x, indent, oneLine, depth = 0) {
    if (x === null || x === undefined) return String(x);
    switch (typeof x) {
      case "string":
        return JSON.stringify(x);
      case "number":
      case "boolean":
        return String(x);
      case "function":
        return x.toString();
      case "object":
        break;
      default:
        return String(x);
    }
    if (typeof x.tojson === "function" && x.tojson !== tojson) return x.tojson(indent, oneLine, depth);
    if (x instanceof Error) return x.toString();
    if (depth > maxDepth) return Array.isArray(x) ? "[Array]" : "[Object]";
    const pad = oneLine ? "" : "\t".repeat(depth), sep = oneLine ? " " : "\n", step = oneLine ? "" : "\t";
    if (Array.isArray(x)) {
      if (x.length === 0) return "[ ]";
      return "[" + sep + x.map((y) => pad + step + tojson(y, indent, oneLine, depth + 1)).join("," + sep) + sep + pad + "]";
    }
    const keys = Object.keys(x);
    if (keys.length === 0) return "{ }";
    return "{" + sep + keys.map((k) => pad + step + '"' + k + '" : ' + tojson(x[k], indent, oneLine, depth + 1)).join("," + sep) + sep + pad + "}";
  };
  global.tojson = tojson;
  global.tojsonObject = tojson;
  global.tojsononeline = (x) => tojson(x, "", true);
  global.printjson = (x) => print(tojson(x));
  global.printjsononeline = (x) => print(tojsononeline(x));
  Array.tojson = (a, indent, oneLine) => tojson(a, indent, oneLine);

  for (const name of ["isString", "isNumber", "isObject", "doassert", "assert", "ISODate", "tojson", "tojsonObject", "tojsononeline", "printjson", "printjsononeline"]) {
    Object.defineProperty(global, name, { enumerable: false });
  }
})(this);
