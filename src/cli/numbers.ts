import { InvalidArgumentError } from "commander"

/** Parsers of the numbers that options take. */

export function number(text: string): number {
  const value = Number(text)
  if (text.trim() === "" || Number.isNaN(value)) throw new InvalidArgumentError("It is not a number.")
  return value
}

export function wholeNumber(text: string): number {
  const value = Number(text)
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= 1) return value
  throw new InvalidArgumentError("It is not a whole number of at least 1.")
}

export function wholeNumberOrZero(text: string): number {
  return text === "0" ? 0 : wholeNumber(text)
}
