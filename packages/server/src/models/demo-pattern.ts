/** A text that fits a simple regular expression. */

const MAX_REPEAT = 32;

/**
 * The shortest plain text that fits, or undefined when the expression uses what is not understood here
 * (look-around, back references, Unicode classes) and the result does not fit.
 */
export function textForPattern(pattern: string): string | undefined {
  try {
    const reader = new Reader(pattern);
    const text = reader.alternatives();
    return reader.done && new RegExp(pattern, "u").test(text) ? text : undefined;
  } catch {
    return undefined;
  }
}

class Reader {
  readonly #pattern: string;
  #at = 0;

  constructor(pattern: string) {
    this.#pattern = pattern;
  }

  get done(): boolean {
    return this.#at >= this.#pattern.length;
  }

  /** The first alternative; the others are read and dropped. */
  alternatives(): string {
    const first = this.#sequence();
    while (this.#take("|")) this.#sequence();
    return first;
  }

  #sequence(): string {
    let text = "";
    while (!this.done && !this.#sees("|") && !this.#sees(")")) {
      const atom = this.#atom();
      const times = this.#quantifier();
      if (times > MAX_REPEAT * 8) throw new RangeError("too many repetitions");
      text += atom.repeat(times);
      if (text.length > 4096) throw new RangeError("too long");
    }
    return text;
  }

  #atom(): string {
    const char = this.#next();
    switch (char) {
      case "^":
      case "$":
        return "";
      case ".":
        return "a";
      case "(": {
        if (this.#take("?")) {
          if (this.#take("<")) while (this.#next() !== ">");
          else if (!this.#take(":")) throw new SyntaxError("look-around");
        }
        const inner = this.alternatives();
        if (!this.#take(")")) throw new SyntaxError("open group");
        return inner;
      }
      case "[":
        return this.#class();
      case "\\":
        return escaped(this.#next());
      default:
        return char;
    }
  }

  /** One character of a class. A negated class gives a character that it does not list. */
  #class(): string {
    const negated = this.#take("^");
    const start = this.#at - 1 - (negated ? 1 : 0);
    const first = this.#take("\\") ? escaped(this.#next()) : this.#next();
    while (!this.#sees("]")) if (this.#next() === "\\") this.#next();
    this.#next();
    if (!negated) return first;
    const fits = new RegExp(this.#pattern.slice(start, this.#at), "u");
    const found = ["a", "A", "0", "-", "_", " "].find((char) => fits.test(char));
    if (found === undefined) throw new SyntaxError("no character fits");
    return found;
  }

  #quantifier(): number {
    if (this.#take("*") || this.#take("?")) return this.#lazy(0);
    if (this.#take("+")) return this.#lazy(1);
    const found = /^\{(\d+)(?:,\d*)?\}/.exec(this.#pattern.slice(this.#at));
    if (found === null) return 1;
    this.#at += found[0].length;
    return this.#lazy(Number(found[1]));
  }

  #lazy(times: number): number {
    this.#take("?");
    return times;
  }

  #sees(char: string): boolean {
    return this.#pattern[this.#at] === char;
  }

  #take(char: string): boolean {
    if (!this.#sees(char)) return false;
    this.#at++;
    return true;
  }

  #next(): string {
    const char = this.#pattern[this.#at++];
    if (char === undefined) throw new SyntaxError("the pattern ends too early");
    return char;
  }
}

function escaped(char: string): string {
  switch (char) {
    case "d":
      return "0";
    case "w":
    case "D":
    case "S":
      return "a";
    case "s":
    case "W":
      return " ";
    case "b":
    case "B":
      return "";
    case "n":
      return "\n";
    case "t":
      return "\t";
    default:
      if (/[a-zA-Z0-9]/.test(char)) throw new SyntaxError("not understood");
      return char;
  }
}
