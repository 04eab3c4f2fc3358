/** A sentence of the service as it comes: in English, with its code and parameters, and a body's faults. */
export type Said = {
  message: string;
  code: string;
  params?: Record<string, unknown>;
  faults?: { message?: string; code?: string; params?: Record<string, unknown> }[];
};
