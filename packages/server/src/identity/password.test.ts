import { hash } from "@node-rs/argon2";
import { describe, expect, test } from "vitest";
import { isOutdated, Passwords, parameters } from "./password.ts";
import { requireStrong } from "./weak.ts";

const passwords = new Passwords();
const PASSWORD = "nine lives of a cat";

describe("a password", () => {
  test("is kept as Argon2id with the parameters of the day, and salted", async () => {
    const [one, two] = [await passwords.hash(PASSWORD), await passwords.hash(PASSWORD)];
    expect(one).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    expect(one).not.toBe(two);
    expect(await passwords.verify(one, PASSWORD)).toBe(true);
    expect(await passwords.verify(one, `${PASSWORD} `)).toBe(false);
  });

  test("is the same in whatever way its characters are typed", async () => {
    const known = await passwords.hash("caf\u00e9 in the kitchen");
    expect(await passwords.verify(known, "cafe\u0301 in the kitchen")).toBe(true);
  });

  test("of nobody is never right", async () => {
    expect(await passwords.verify(null, PASSWORD)).toBe(false);
  });

  test("is out of date under other parameters", async () => {
    expect(isOutdated(await passwords.hash(PASSWORD))).toBe(false);
    expect(isOutdated(await hash(PASSWORD, { ...parameters, timeCost: 1 }))).toBe(true);
  });

  test("leaves the event loop free while it is hashed", async () => {
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    await Promise.all(Array.from({ length: 4 }, () => passwords.hash(PASSWORD)));
    clearInterval(timer);
    expect(turns).toBeGreaterThan(0);
  });

  test("is refused, not queued, when too many wait", async () => {
    const busy = new Passwords();
    const tries = Array.from({ length: 70 }, () =>
      busy.hash(PASSWORD).then(
        () => "done",
        (error) => error.code,
      ),
    );
    const outcomes = await Promise.all(tries);
    expect(outcomes.filter((outcome) => outcome === "unavailable")).toHaveLength(70 - 66);
    expect(await busy.verify(await busy.hash(PASSWORD), PASSWORD)).toBe(true);
  });
});

describe("a new password", () => {
  const refused = (password: string, about: string[] = []) => {
    try {
      requireStrong(password, about);
      return false;
    } catch (error) {
      return (error as { code: string }).code === "weak_password";
    }
  };

  test("may be any long text", () => {
    for (const password of [PASSWORD, "correct horse battery", "пароль из слов", "🐈🐕🐎🐄🐖🐑 zoo"]) {
      expect(refused(password)).toBe(false);
    }
  });

  test("has twelve characters or more, and no book", () => {
    expect(refused("elevenchars")).toBe(true);
    expect(refused("a book ".repeat(40))).toBe(true);
  });

  test("is none of those that are tried first, in any case", () => {
    for (const password of ["password1234", "PASSWORD1234", "qwertyuiop123", "abababababab", "Callboard12345"]) {
      expect(refused(password)).toBe(true);
    }
  });

  test("is not the person's own address or name", () => {
    expect(refused("ada@example.com", ["Ada@example.com", "Ada"])).toBe(true);
    expect(refused("Ada Lovelace 1815", ["ada@example.com", "Ada Lovelace"])).toBe(false);
  });
});
