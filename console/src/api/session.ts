/** Return the address that signs a person in and comes back to the page that is shown now. */
export function signInUrl(): string {
  return `/session/sign-in?return_to=${encodeURIComponent(location.pathname + location.search)}`;
}
